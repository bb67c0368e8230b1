"""What tenants consume: set aside before the work, booked after it, on every path."""
