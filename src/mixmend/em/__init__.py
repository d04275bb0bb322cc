"""mixmend.em"""
