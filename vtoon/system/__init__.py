"""What the operating system has to do with it: time, memory, signals, files that appear when complete."""
