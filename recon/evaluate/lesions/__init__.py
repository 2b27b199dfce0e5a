"""Experiments with lesions that no prior can know: do they come back, and is one that isn't there noticed?"""
