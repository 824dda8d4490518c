"""What every stage needs: lock, stop, progress, device, memory, threads and options."""
