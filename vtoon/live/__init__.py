"""Drawing while it happens: `vtoon live`. Frames that come too fast are left out; nothing waits for the future."""
