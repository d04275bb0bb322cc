"""mixmend.files"""
