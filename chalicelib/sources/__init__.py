"""Where data comes from: one folder for each kind of source, behind one small protocol."""
