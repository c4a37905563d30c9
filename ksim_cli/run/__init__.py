"""Host loops: training, evaluation, viewing, collecting."""
