"""The service: `vtoon serve`. Clips and pictures come by HTTP, are drawn one after the other, and survive a restart."""
