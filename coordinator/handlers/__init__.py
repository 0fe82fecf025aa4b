"""From deliveries to events: decode, check who sent it, and hand it to the inside. Plain functions; ROUTES in `routes`."""
