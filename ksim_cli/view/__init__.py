"""What draws: curves, pages, pictures, live viewers."""
