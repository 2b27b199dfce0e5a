"""Does a prior repeat the images it was trained on?"""
