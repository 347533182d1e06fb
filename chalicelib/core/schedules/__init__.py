"""Schedules: when a task fires, over which data window, and both in words."""
