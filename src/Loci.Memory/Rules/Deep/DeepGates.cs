using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.Deep;

/// <summary>
/// The gates of one chunk of a deep memory as the coefficients of its two recurrences: with S the momentum and W the weights before the
/// chunk and D_j the clipped descent direction of row j,
///   S_t = H_t S + sum_{j at most t} s_tj D_j,  W_t = A_t W + B_t S + sum_{j at most t} c_tj D_j,
/// where s_t = h_t s_{t-1}, s_tt = e_t, c_t = a_t c_{t-1} + s_t, A_t = a_t A_{t-1}, H_t = h_t H_{t-1} and B_t = a_t B_{t-1} + H_t. Nothing
/// is divided and every factor is at most 1.
/// </summary>
internal unsafe struct DeepGates
{
    public float* A;         // [c]
    public float* B;         // [c]
    public float* H;         // [c]
    public float* Decay;     // a, [c]
    public float* Momentum;  // h, [c]
    public float* C;         // c, [c, c], zeros above the diagonal
    public float* S;         // s, [c, c]; without momentum its diagonal alone counts and it is not filled
    public float* Rate;      // e, [c]

    // Gradients.
    public float* DA;
    public float* DB;
    public float* DH;
    public float* DC;        // [c, c]
    public float* DS;        // of the last row of s, [c]
    public bool HasDecay;
    public bool HasMomentum;

    public static DeepGates Carve(in DeepScanKernel.Work work, ref Carver carver)
    {
        long c = work.ChunkLength, square = c * c;
        return new()
        {
            HasDecay = work.LogDecay != null,
            HasMomentum = work.HasMomentum,
            A = carver.Take(c),
            B = carver.Take(c),
            H = carver.Take(c),
            Decay = carver.Take(c),
            Momentum = carver.Take(c),
            Rate = carver.Take(c),
            C = carver.Take(square),
            S = carver.Take(square),
            DA = carver.Take(c),
            DB = carver.Take(c),
            DH = carver.Take(c),
            DC = carver.Take(square),
            DS = carver.Take(c),
        };
    }

    /// <summary>
    /// Reads the gates of some rows of one head and computes the coefficients; matrices have rows of <paramref name="rows"/>.
    /// </summary>
    public readonly void Load(float* rate, float* logDecay, float* momentum, int rows, int heads)
    {
        float a = 1, b = 0, h = 1;
        for (var t = 0; t < rows; t++)
        {
            var index = (long)t * heads;
            Rate[t] = rate[index];
            Decay[t] = HasDecay ? MathF.Exp(logDecay[index]) : 1;
            Momentum[t] = HasMomentum ? momentum[index] : 0;
            a *= Decay[t];
            h *= Momentum[t];
            b = (Decay[t] * b) + h;
            A[t] = a;
            B[t] = b;
            H[t] = h;
            float* c = C + ((long)t * rows), s = S + ((long)t * rows);
            if (HasMomentum)
            {
                if (t > 0)
                {
                    Blas1.Scale(Momentum[t], s - rows, s, t);
                }

                s[t] = Rate[t];
                Blas1.Copy(s, c, t + 1);
            }
            else
            {
                Blas1.Zero(c, t);
                c[t] = Rate[t];
            }

            if (t > 0)
            {
                Blas1.AddScaled(Decay[t], c - rows, c, t);
            }

            Blas1.Zero(c + t + 1, rows - t - 1);
        }
    }

    /// <summary>s of the last row: what each direction weighs in the momentum after the chunk.</summary>
    public readonly float* LastMomentum(int rows) => S + ((long)(rows - 1) * rows);

    public readonly float* LastWeight(int rows) => C + ((long)(rows - 1) * rows);

    public readonly void ClearGradients(int rows)
    {
        Blas1.Zero(DC, rows * rows);
        foreach (var row in (ReadOnlySpan<nint>)[(nint)DA, (nint)DB, (nint)DH, (nint)DS])
        {
            Blas1.Zero((float*)row, rows);
        }
    }

    /// <summary>The gradients of the gates from those of the coefficients, added to what is there or written. DC is used up.</summary>
    public readonly void Backward(
        int rows, int heads, float* dRate, bool addRate, float* dLogDecay, bool addDecay, float* dMomentum, bool addMomentum)
    {
        // ds of row t, from the rows after it.
        var ds = DS;
        float da = 0, db = 0, dh = 0;
        for (var t = rows - 1; t >= 0; t--)
        {
            float* dc = DC + ((long)t * rows), c = C + ((long)t * rows), s = S + ((long)t * rows);

            // c_t = a_t c_{t-1} + s_t
            da += DA[t];
            db += DB[t];
            dh += DH[t] + db;
            var index = (long)t * heads;
            var dDecay = (da * (t > 0 ? A[t - 1] : 1)) + (db * (t > 0 ? B[t - 1] : 0));
            if (t > 0)
            {
                dDecay += Blas1.Dot(dc, c - rows, t);
                Blas1.AddScaled(Decay[t], dc, dc - rows, t);
            }

            if (HasMomentum)
            {
                // s_t = h_t s_{t-1}, s_tt = e_t
                Blas1.AddScaled(1, dc, ds, t + 1);
                Blas1.Store(dRate, index, ds[t], addRate);
                var gradient = dh * (t > 0 ? H[t - 1] : 1);
                if (t > 0)
                {
                    gradient += Blas1.Dot(ds, s - rows, t);
                    Blas1.Scale(Momentum[t], ds, ds, t);
                }

                Blas1.Store(dMomentum, index, gradient, addMomentum);
            }
            else
            {
                Blas1.Store(dRate, index, dc[t], addRate);
            }

            Blas1.Store(dLogDecay, index, dDecay * Decay[t], addDecay);
            da *= Decay[t];
            db *= Decay[t];
            dh *= Momentum[t];
        }
    }
}
