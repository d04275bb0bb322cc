"""mixmend.mixtures"""
