"""What draws: live viewers."""
