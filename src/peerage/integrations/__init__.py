"""For web frameworks, their servers, and other HTTP clients than aiohttp; each module says what it is for."""
