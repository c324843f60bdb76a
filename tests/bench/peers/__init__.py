"""What Parley is measured against: servers as their documentation leads to, each for one room."""
