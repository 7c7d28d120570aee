"""Everything that talks to the cloud: signing, authentication, sending again, reading answers."""
