"""The command line: ``peerage demo``, ``ls``, ``locate``, ``get``."""
