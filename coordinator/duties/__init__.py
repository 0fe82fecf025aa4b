"""What is done by time: one duty a file, each a small function that `periodic` calls again and again."""
