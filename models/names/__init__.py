"""What classes are called: ImageNet's names and WordNet ids, published sets, and which class a word means."""
