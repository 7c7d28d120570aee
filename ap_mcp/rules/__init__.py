"""One reader for each fact of the vendor that more than one part of the package uses."""
