"""What commands do with models: load data for them, predict, judge."""
