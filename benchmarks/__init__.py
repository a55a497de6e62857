"""One door for every figure that peerage claims: ``make bench``."""
