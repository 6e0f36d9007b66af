"""Write down what models are asked and answer, and answer from what was written down."""
