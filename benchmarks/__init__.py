"""Every figure that peerage claims is measured here: ``make bench``."""
