"""What is on disk: ratings and tables in and out, streamed; saved models.

``ratings`` reads, ``completed`` writes, ``models`` saves and loads, ``describe`` says what
a file is, and ``atomic`` makes sure that an output is whole or absent.
"""
