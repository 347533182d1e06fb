"""What a task can do: one folder for each kind, behind one small protocol."""
