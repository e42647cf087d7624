//! What this machine is doing: processor, memory, disks, network and this process.
