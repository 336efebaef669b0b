"""What people say of frames, masters, measurements and instruments, and who may say it on the pages."""
