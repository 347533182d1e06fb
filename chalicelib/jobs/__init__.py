"""What people see of jobs and do to them: the record, lists, actions, deletion, batches."""
