"""What is true of every job at every moment, and what makes it true again."""
