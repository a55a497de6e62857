"""A simulated ZooKeeper for the ZooKeeper backend as it is."""
