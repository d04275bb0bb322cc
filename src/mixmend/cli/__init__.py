"""mixmend.cli"""
