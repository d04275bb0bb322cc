"""mixmend.completion"""
