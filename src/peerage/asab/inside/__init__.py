"""What ``peerage.asab.api`` does in an application of the real asab: see docs/asab-inside.md."""
