"""What draws: pictures, videos, plots."""
