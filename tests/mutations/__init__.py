"""What each check is worth: one thing is broken, and exactly the right scenarios fail."""
