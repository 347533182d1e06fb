"""From due tasks to jobs: the tick, a task's slots, and the calendars that they follow."""
