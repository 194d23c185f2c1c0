"""Instruments: what a study asks, as a document.

`schema` says what an instrument file may contain, `load` reads and stores one.
The files lie beside this module.
"""
