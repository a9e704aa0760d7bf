//! Named architectures.
//!
//! Sources:
//! * Thesis: the multi-bit spike train thesis that this project follows gives one network in full,
//!   for Fashion-MNIST (its section 4.1 and figure 4.1).
//! * SLAYER: Shrestha and Orchard, "SLAYER: Spike Layer Error Reassignment in Time", `NeurIPS` 2018,
//!   <https://arxiv.org/abs/1810.08646>, table 1.
//! * PLIF: Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of
//!   Spiking Neural Networks", ICCV 2021, <https://arxiv.org/abs/2007.05785>; layer by layer as in
//!   `SpikingJelly`'s `parametric_lif_net`.
//! * VGG-11: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
//!   Recognition", ICLR 2015, <https://arxiv.org/abs/1409.1556>, configuration A with one dense layer, as
//!   is usual for 32x32 images; spiking as in Sengupta et al. 2019, <https://arxiv.org/abs/1802.02627>.
//! * SEW-ResNet-18: Fang et al., "Deep Residual Learning in Spiking Neural Networks", `NeurIPS` 2021,
//!   <https://arxiv.org/abs/2102.04159>, with the stem for 32x32 images of He et al. 2016 and 16 to 128
//!   channels for 64 to 512.
//! * Recurrent network: Cramer et al., "The Heidelberg Spiking Data Sets for the Systematic Evaluation
//!   of Spiking Neural Networks", 2022, <https://arxiv.org/abs/1910.07407>, one recurrent layer of 128.

pub(super) const PRESETS: &[(&str, &str)] = &[
    // Thesis, figure 4.1: SLAYER's network for MNIST with 8 and 16 channels for 12 and 64.
    ("fashion-mnist-net", "28x28-8c5-2a-16c5-2a-10o"),
    ("fashion-mnist-net-plif", "28x28-128c3-bn-2m-128c3-bn-2m-dp0.5-2048-dp0.5-100o-vote10"),
    // As for Fashion-MNIST.
    ("mnist-net", "28x28-8c5-2a-16c5-2a-10o"),
    ("mnist-net-slayer", "28x28-12c5-2a-64c5-2a-10o"),
    ("mnist-net-plif", "28x28-128c3-bn-2m-128c3-bn-2m-dp0.5-2048-dp0.5-100o-vote10"),
    // The same with two polarities. 34 can be halved only once, which PLIF's pooling passes over by
    // dropping a row and a column; here a first convolution without padding brings 34 to 32. PLIF's
    // last map is 8x8 as published, and so are all its weights. SLAYER's network is not here: no
    // padding that the notation can say gives its sizes.
    ("nmnist-net", "34x34x2-8c3v-2a-16c5-2a-10o"),
    ("nmnist-net-plif", "34x34x2-128c3v-bn-2m-128c3-bn-2m-dp0.5-2048-dp0.5-100o-vote10"),
    // SLAYER's network as published: its first layer shrinks the input to 32x32.
    ("dvs-gesture-net", "128x128x2-4a-16c5-2a-32c3-2a-512-11o"),
    ("dvs-gesture-net-slayer", "128x128x2-4a-16c5-2a-32c3-2a-512-11o"),
    (
        "dvs-gesture-net-plif",
        "128x128x2-128c3-bn-2m-128c3-bn-2m-128c3-bn-2m-128c3-bn-2m-128c3-bn-2m\
         -dp0.5-512-dp0.5-110o-vote10",
    ),
    // PLIF's two stages with one convolution each for three, 32 and 64 channels for 256, and 256
    // hidden neurons for 2048.
    ("cifar10-net", "32x32x3-32c3-bn-2m-64c3-bn-2m-dp0.5-256-dp0.5-100o-vote10"),
    (
        "cifar10-net-plif",
        "32x32x3-256c3-bn-256c3-bn-256c3-bn-2m-256c3-bn-256c3-bn-256c3-bn-2m\
         -dp0.5-2048-dp0.5-100o-vote10",
    ),
    (
        "cifar10-net-vgg11",
        "32x32x3-64c3-bn-2m-128c3-bn-2m-256c3-bn-256c3-bn-2m-512c3-bn-512c3-bn-2m-512c3-bn-512c3-bn-2m\
         -10o",
    ),
    (
        "cifar10-net-sew-resnet18",
        "32x32x3-16c3-bn-res(16c3-bn-16c3-bn)-res(16c3-bn-16c3-bn)\
         -res(32c3s2-bn-32c3-bn|32c1s2-bn)-res(32c3-bn-32c3-bn)\
         -res(64c3s2-bn-64c3-bn|64c1s2-bn)-res(64c3-bn-64c3-bn)\
         -res(128c3s2-bn-128c3-bn|128c1s2-bn)-res(128c3-bn-128c3-bn)-4a-10o",
    ),
    ("shd-net", "700-128r-20o"),
];
