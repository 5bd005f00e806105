"""What judges make of evidence."""
