"""What a run stands on, by network, solver, objective and measure."""

GENERAL = ("Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models, 2020 (arXiv 2006.11239).",)
CLASSES = (
    "Ho, Salimans: Classifier-Free Diffusion Guidance, 2022 (arXiv 2207.12598).",
    "Kynkäänniemi et al.: Applying Guidance in a Limited Interval, 2024 (arXiv 2404.07724).",
    "Heusel et al.: GANs Trained by a Two Time-Scale Update Rule, 2017 (arXiv 1706.08500): the "
    "Fréchet distance.",
)
FACES = (
    "Dalal, Triggs: Histograms of Oriented Gradients for Human Detection, 2005; King: dlib, 2009: the "
    "detector of faces.",
)
MNIST_M = (
    "Ganin et al.: Domain-Adversarial Training of Neural Networks, 2016 (arXiv 1505.07818): MNIST-M.",
)
NETWORKS = {
    "uvit": (
        "Lipman et al.: Flow Matching for Generative Modeling, 2023 (arXiv 2210.02747).",
        "Esser et al.: Scaling Rectified Flow Transformers, 2024 (arXiv 2403.03206): the times.",
        "Karras et al.: Elucidating the Design Space of Diffusion-Based Generative Models, 2022 "
        "(arXiv 2206.00364).",
        "Hoogeboom, Heek, Salimans: simple diffusion, 2023 (arXiv 2301.11093).",
        "Peebles, Xie: Scalable Diffusion Models with Transformers, 2023 (arXiv 2212.09748).",
        "Tolstikhin et al.: MLP-Mixer, 2021 (arXiv 2105.01601).",
        "Park et al.: Semantic Image Synthesis with SPADE, 2019 (arXiv 1903.07291).",
        "Jordan et al.: Muon, 2024 (kellerjordan.github.io/posts/muon).",
    ),
    "unet": (
        "Nichol, Dhariwal: Improved DDPM, 2021 (arXiv 2102.09672): cosine betas.",
        "Salimans, Ho: Progressive Distillation, 2022 (arXiv 2202.00512): velocity.",
        "Hang et al.: Efficient Diffusion Training via Min-SNR Weighting, 2023 (arXiv 2303.09556).",
    ),
    "context-unet": (
        "Pearce: Conditional Diffusion MNIST, 2022 (github.com/TeaPearce/Conditional_Diffusion_MNIST).",
    ),
}
SOLVERS = {
    "ddim": ("Song, Meng, Ermon: Denoising Diffusion Implicit Models, 2021 (arXiv 2010.02502).",),
    "dpm-solver++": ("Lu et al.: DPM-Solver++, 2022 (arXiv 2211.01095).",),
    "unipc": ("Zhao et al.: UniPC, 2023 (arXiv 2302.04867).",),
    "heun": ("Karras et al.: Elucidating the Design Space, 2022 (arXiv 2206.00364): Heun.",),
}

GANS = {
    "r3gan": (
        "Huang et al.: The GAN is dead; long live the GAN!, 2024 (arXiv 2501.05441).",
        "Jolicoeur-Martineau: The relativistic discriminator, 2019 (arXiv 1807.00734).",
        "Zhao et al.: Differentiable Augmentation for Data-Efficient GAN Training, 2020 (arXiv 2006.10738).",
        "Karras et al.: Training GANs with Limited Data, 2020 (arXiv 2006.06676): adaptive augmentation.",
    ),
    "dcgan": (
        "Radford, Metz, Chintala: Unsupervised Representation Learning with DCGANs, 2016 (arXiv 1511.06434).",
    ),
    "wgan": ("Arjovsky, Chintala, Bottou: Wasserstein GAN, 2017 (arXiv 1701.07875).",),
    "wgan-gp": (
        "Gulrajani et al.: Improved Training of Wasserstein GANs, 2017 (arXiv 1704.00028).",
    ),
}
LATENT = (
    "Rombach et al.: High-Resolution Image Synthesis with Latent Diffusion Models, 2022 "
    "(arXiv 2112.10752)."
)
INVERSION = "Gal et al.: An Image is Worth One Word, 2022 (arXiv 2208.01618)."
CUSTOM = "Kumari et al.: Multi-Concept Customization of Text-to-Image Diffusion, 2023 (arXiv 2212.04488)."
PERSONAL = {
    "textual-inversion": (INVERSION,),
    "custom-diffusion": (
        CUSTOM,
        "Ruiz et al.: DreamBooth, 2023 (arXiv 2208.12242): prior pictures that the pipeline draws.",
    ),
    "lora": ("Hu et al.: LoRA, 2022 (arXiv 2106.09685).",),
    "personalize-merge": (CUSTOM,),
}


def references_of_concepts(recipe: str) -> tuple[str, ...]:
    """The papers behind a way to teach a pipeline concepts."""
    return (LATENT, *PERSONAL.get(recipe, ()))


def references_of_gan(objective: str, faces: bool) -> tuple[str, ...]:
    """The papers behind a GAN and what was measured of it."""
    general = "Goodfellow et al.: Generative Adversarial Networks, 2014 (arXiv 1406.2661)."
    return (general, *GANS[objective], *(FACES if faces else ()))


def references_of(
    network: str, solver: str, classes: bool, faces: bool, mnist_m: bool
) -> tuple[str, ...]:
    """The papers behind a network, a solver, and what was measured and trained on."""
    return (
        *GENERAL,
        *(CLASSES if classes else ()),
        *NETWORKS.get(network, ()),
        *SOLVERS.get(solver, ()),
        *(FACES if faces else ()),
        *(MNIST_M if mnist_m else ()),
    )
