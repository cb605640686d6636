"""What is set once and seldom looked at."""
