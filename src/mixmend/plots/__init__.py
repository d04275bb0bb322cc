"""mixmend.plots"""
