"""From deliveries to events: decode, check who sent it, hand it to the inside. Plain functions, one table: `routes`."""
