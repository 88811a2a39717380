"""How to cite the method; nothing heavy is imported here."""

CITATION = """\
@inproceedings{zhang-etal-2022-mixcse,
    title = {Unsupervised Sentence Representation via Contrastive Learning with Mixing Negatives},
    author = {Zhang, Yanzhao and Zhang, Richong and Mensah, Samuel and Liu, Xudong and Mao, Yongyi},
    booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
    volume = {36},
    pages = {11730--11738},
    year = {2022},
    doi = {10.1609/aaai.v36i10.21428},
}
"""
