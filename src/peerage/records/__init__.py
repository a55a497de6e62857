"""What a record says: names, addresses, the instance that is read out of it, and the record that we write."""
