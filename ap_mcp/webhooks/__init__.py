"""Posts questions that wait for a person where people read: in chats, or to a program of the operator."""
