"""mixmend.evaluation"""
