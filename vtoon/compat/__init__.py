"""What notebooks written for VToonify's demo import."""
