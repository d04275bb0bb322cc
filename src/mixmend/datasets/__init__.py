"""mixmend.datasets"""
