"""Where data comes from: a folder for each kind of source, and the protocol that all of them follow."""
