"""`make day`: a day of a farm of a hundred workers, in hours of a minute, to see that nothing grows for ever."""
